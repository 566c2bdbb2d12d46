// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The door to zlib: reading gzip (RFC 1952) from memory, piece by piece, so that nobody allocates more than was
/// announced. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <zlib.h>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/owned_ptr.hpp>

namespace pleat::io {

/// Whether these bytes begin as a gzip file does (1f 8b).
[[nodiscard]] inline bool is_gzip(std::span<std::byte const> bytes) noexcept {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

/// deflate cannot expand by more than this: a length that announces more is a lie that can be told before anything is
/// allocated.
inline constexpr std::uint64_t gzip_max_ratio = 1032;

/// Expands gzip data that lie in memory. Several members one after the other count as one stream, as RFC 1952 says.
class gzip_reader {
 public:
  /// \param compressed must outlive the reader
  /// \param call       how errors introduce themselves, e.g. "io::read_idx('x.gz')"
  PLEAT_ONCE gzip_reader(std::span<std::byte const> compressed, std::string call)
      : in_(compressed), call_(std::move(call)), z_(make_owned<z_stream>()) {
    if (!is_gzip(in_)) throw error{call_, "not a gzip file: it does not begin with 1f 8b", remedy::copy_again};
    if (::inflateInit2(z_.get(), 15 + 16) != Z_OK)
      throw error{call_, "zlib could not be started (no memory?)",
                  "Free some memory, or unpack the file with gunzip first"};
  }
  gzip_reader(gzip_reader const&) = delete;
  gzip_reader& operator=(gzip_reader const&) = delete;
  ~gzip_reader() { ::inflateEnd(z_.get()); }

  /// Fills `out` as far as the stream reaches. \returns the bytes written; fewer than asked only at the end, where
  /// checksum and length of the gzip trailer have been verified and nothing follows. \throws error with the offset in
  /// the compressed data: truncated, corrupt, or garbage after the end
  PLEAT_ONCE std::size_t read(std::span<std::byte> out) {
    std::size_t done = 0;
    while (done < out.size() && !end_) {
      constexpr std::size_t piece = std::size_t{1} << 30;  // zlib counts in 32 bits
      std::size_t const offered = std::min(in_.size() - taken_, piece), wanted = std::min(out.size() - done, piece);
      z_->next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in_.data() + taken_));
      z_->avail_in = static_cast<uInt>(offered);
      z_->next_out = reinterpret_cast<Bytef*>(out.data() + done);
      z_->avail_out = static_cast<uInt>(wanted);
      int const r = ::inflate(z_.get(), Z_NO_FLUSH);
      taken_ += offered - z_->avail_in;
      done += wanted - z_->avail_out;
      produced_ += wanted - z_->avail_out;
      if (r == Z_STREAM_END) next_member();
      else if (r == Z_BUF_ERROR || (r == Z_OK && taken_ == in_.size() && z_->avail_out != 0))
        throw error{call_,
                    "the gzip data end too early, at byte " + std::to_string(taken_) + " (" +
                        std::to_string(produced_) + " bytes expanded so far)",
                    remedy::copy_again};
      else if (r != Z_OK)
        throw error{call_,
                    "corrupt gzip data at byte " + std::to_string(taken_) + " (" + std::to_string(produced_) +
                        " bytes expanded so far): " + (z_->msg ? z_->msg : "zlib error " + std::to_string(r)),
                    remedy::copy_again};
    }
    return done;
  }

  /// Whether the stream is over, trailer verified. A reader of known length asks by reading one byte more.
  PLEAT_LAZY [[nodiscard]] bool at_end() {
    std::byte extra{};
    return read({&extra, 1}) == 0;
  }

  /// Bytes consumed so far.
  [[nodiscard]] std::uint64_t compressed_offset() const noexcept { return taken_; }
  /// Bytes delivered so far.
  [[nodiscard]] std::uint64_t expanded_offset() const noexcept { return produced_; }

 private:
  PLEAT_ONCE void next_member() {
    if (taken_ == in_.size()) {
      end_ = true;
      return;
    }
    if (!is_gzip(in_.subspan(taken_)))
      throw error{call_,
                  std::to_string(in_.size() - taken_) + " bytes of garbage follow the gzip data, from byte " +
                      std::to_string(taken_) + " on",
                  remedy::copy_again};
    if (::inflateReset(z_.get()) != Z_OK)
      throw error{call_, "zlib could not be restarted", "Free some memory, or unpack the file with gunzip first"};
  }

  std::span<std::byte const> in_;
  std::string call_;
  owned_ptr<z_stream> z_;  // zlib keeps its address
  std::size_t taken_ = 0;
  std::uint64_t produced_ = 0;
  bool end_ = false;
};

/// Everything that a gzip file in memory holds.
/// \param compressed one gzip stream and nothing else
/// \param max_bytes what it may expand to; memory grows with the data, never with what a header promises
/// \param call      how errors introduce themselves
PLEAT_ONCE [[nodiscard]] std::vector<std::byte> gunzip(std::span<std::byte const> compressed, std::uint64_t max_bytes,
                                                       std::string const& call = "io::gunzip") {
  gzip_reader reader(compressed, call);
  std::vector<std::byte> out;
  for (;;) {
    std::size_t const had = out.size();
    if (had == max_bytes) {
      if (!reader.at_end())
        throw error{call,
                    "the data expand to more than the " + std::to_string(max_bytes) +
                        " bytes allowed (compressed byte " + std::to_string(reader.compressed_offset()) + ")",
                    "Is it the right file? Allow more bytes if it is"};
      return out;
    }
    auto const step = std::min<std::uint64_t>(std::max<std::size_t>(had, 64 * 1024), max_bytes - had);
    out.resize(had + static_cast<std::size_t>(step));
    std::size_t const got = reader.read(std::span(out).subspan(had));
    if (got < step) {
      out.resize(had + got);
      return out;
    }
  }
}

/// Everything, as one gzip member (tests, small exports).
PLEAT_ONCE [[nodiscard]] std::vector<std::byte> gzip(std::span<std::byte const> bytes, int level = 6) {
  if (bytes.size() >= (std::size_t{1} << 31))
    throw error{"io::gzip", "more than 2 GiB in one piece", "Compress it in pieces of less than that"};
  z_stream z{};
  if (::deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw error{"io::gzip", "zlib could not be started at level " + std::to_string(level),
                "Choose a level from 0 to 9, and leave zlib some memory"};
  std::vector<std::byte> out(::deflateBound(&z, static_cast<uLong>(bytes.size())) + 64);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  int const r = ::deflate(&z, Z_FINISH);
  out.resize(out.size() - z.avail_out);
  ::deflateEnd(&z);
  if (r != Z_STREAM_END)
    throw error{"io::gzip", "zlib error " + std::to_string(r), "Free some memory, or write the bytes as they are"};
  return out;
}

}  // namespace pleat::io
