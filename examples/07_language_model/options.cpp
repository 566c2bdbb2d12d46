// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "options.hpp"

#include "../command_line.hpp"

namespace gpt {

std::optional<int> parse(int argc, char** argv, options& o) {
  CLI::App app("Trains a language model of characters, spread over ranks as you say.");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  auto const positive = CLI::Range(std::int64_t{1}, std::int64_t{1} << 40);
  auto const natural = CLI::Range(std::int64_t{0}, std::int64_t{1} << 40);
  app.add_option("--data", o.data, "a text file: its first nine tenths are trained on, the rest validates")->required();
  app.add_option("--layers", o.layers)->check(positive)->capture_default_str();
  app.add_option("--width", o.width)->check(positive)->capture_default_str();
  app.add_option("--heads", o.heads, "of attention; divides the width")->check(positive)->capture_default_str();
  app.add_option("--context", o.context, "characters that the model sees")->check(positive)->capture_default_str();
  app.add_option("--batch", o.batch, "windows of text per step, over all ranks")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--steps", o.steps)->check(natural)->capture_default_str();
  command_line::add_seed(app, o);
  app.add_option("--learning-rate", o.learning_rate)->check(command_line::positive())->capture_default_str();
  app.add_option("--warm-up", o.warm_up, "steps until the rate is reached; then half a cosine")
      ->check(natural)
      ->capture_default_str();
  app.add_option("--final-rate", o.final_rate, "share of the rate at the last step")
      ->check(command_line::number(0, 1))
      ->capture_default_str();
  app.add_option("--weight-decay", o.weight_decay)->check(command_line::not_negative())->capture_default_str();
  app.add_option("--beta2", o.beta2, "of AdamW")->check(command_line::number(0, 0.999999))->capture_default_str();
  app.add_option("--clip", o.clip, "largest norm of a step's gradient; 0: any")
      ->check(command_line::not_negative())
      ->capture_default_str();
  app.add_option(
      "--mesh", o.mesh,
      "data=a,tensor=b,pipeline=c; what is not named: tensor and pipeline 1, data the ranks that are left. Pipeline is "
      "outermost and the last other one innermost, unless ,order=data.pipeline.tensor (outermost first) follows");
  app.add_option("--data-axes", o.data_axes,
                 "axes of your own in --mesh whose ranks share the batch as those of data do: node,rack");
  app.add_option("--schedule", o.schedule, "of a pipeline: gpipe, 1f1b, interleaved, zb-h1, zb-h2, zb-v, dualpipe-v")
      ->capture_default_str();
  app.add_option("--micro-batches", o.micro_batches, "pieces that a rank cuts its share of the batch into")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--chunks", o.chunks, "stages per pipeline rank; 0: what the schedule asks for")
      ->check(natural)
      ->capture_default_str();
  app.add_option(
         "--cuts", o.cuts,
         "of a pipeline's stages: cost, by floating-point operations; measured, by times that rank 0 takes first")
      ->check(CLI::IsMember({"cost", "measured"}))
      ->capture_default_str();
  app.add_option("--state-stage", o.state_stage,
                 "sharded over the data axis: 0 nothing, 1 optimizer state, 2 gradients too, 3 parameters too")
      ->capture_default_str();
  app.add_option("--state-ranks", o.state_ranks,
                 "data ranks that share one copy of the state; 0: all. Before a checkpoint is kept, ranks compare what "
                 "they hold alike; of parameters in pieces (--state-stage 3) that is what other groups of so many "
                 "ranks hold: with one group there is nothing to compare")
      ->check(natural)
      ->capture_default_str();
  app.add_option("--state-stride", o.state_stride,
                 "of --state-ranks: data ranks from one that shares a copy to the next; 1: neighbours")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--recompute", o.recompute,
                 "what backward computes again: none, selected, full; or unit by unit (0: the embedding, then the "
                 "blocks): 1:full,2-3:selected, and selected,1:full for all others too")
      ->capture_default_str();
  app.add_option("--precision", o.precision, "of weights and activations: f32; bf16; f16 with a dynamic loss scale")
      ->capture_default_str();
  app.add_option("--loss-scale", o.loss_scale, "of f16, at the beginning; it grows and shrinks as gradients allow")
      ->check(command_line::number(1, 16777216))
      ->capture_default_str();
  app.add_option("--wire", o.wire, "what gradients travel as: same, bf16")->capture_default_str();
  app.add_option("--threads", o.threads, "threads per rank (default: the cores dealt to the ranks)")
      ->check(CLI::Range(1, 100000));
  app.add_option("--thread-ranks", o.thread_ranks, "ranks as threads of this process")->check(CLI::Range(1, 1000));
  command_line::add_timeout(app, o);
  app.add_option("--validate-steps", o.validate_steps, "steps between validations; 0: after the last step only")
      ->check(natural)
      ->capture_default_str();
  app.add_option("--validation-windows", o.validation_windows, "windows to validate by; 0: all")
      ->check(natural)
      ->capture_default_str();
  app.add_option("--checkpoint", o.checkpoint, "folder for checkpoints");
  app.add_option("--checkpoint-steps", o.checkpoint_steps, "steps between checkpoints; 0: after the last step only")
      ->check(natural)
      ->capture_default_str();
  app.add_option("--out", o.out, "safetensors file for the trained model");
  app.add_option("--json", o.json, "file for every figure");
  app.add_option("--trace", o.trace,
                 "file for a trace of all ranks in this run's third step (its last one, if it makes fewer), for Chrome "
                 "or Perfetto");
  app.add_option("--log-steps", o.log_steps, "steps between lines of progress; 0: twenty lines in all")
      ->check(natural)
      ->capture_default_str();
  app.add_flag("--deterministic", o.deterministic,
               "the same bits on any number of data ranks up to --lanes, over any pipeline and schedule");
  app.add_option("--lanes", o.lanes,
                 "of --deterministic: parts of the batch that are summed by themselves, a power of two from the data "
                 "ranks up to 64; other lanes, other bits")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{64}))
      ->capture_default_str();
  app.add_flag("--resume", o.resume, "go on from the newest checkpoint");
  app.add_flag("--no-overlap", o.no_overlap, "exchange gradients after backward, not during it");
  app.add_flag("--quiet", o.quiet, "no progress, no remarks");
  return command_line::parse(app, argc, argv, [&] {
    o.schedule_given = app.count("--schedule") > 0;
    if (app.count("--lanes") > 0 && !o.deterministic)
      throw CLI::ValidationError(
          "--lanes is for --deterministic: without it no lane is summed by itself. Leave it out, or add "
          "--deterministic");
    if (app.count("--loss-scale") > 0 && o.precision != "f16")
      throw CLI::ValidationError("--loss-scale is for --precision f16: " + o.precision +
                                 " has no loss scale. Leave it out, or use --precision f16");
    if (app.count("--state-ranks") > 0 && o.state_stage == 0)
      throw CLI::ValidationError(
          "--state-ranks says how many ranks share one copy of the state, but --state-stage 0 shares nothing. Use "
          "--state-stage 1, 2 or 3, or leave it out");
    if (o.resume && o.checkpoint.empty())
      throw CLI::ValidationError("--resume needs --checkpoint DIR: the folder to go on from");
    if (o.checkpoint_steps > 0 && o.checkpoint.empty())
      throw CLI::ValidationError("--checkpoint-steps needs --checkpoint DIR: the folder to write to");
  });
}

std::optional<int> parse(int argc, char** argv, sample_options& o) {
  CLI::App app("Writes text with a model that train_gpt has trained.");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("FROM", o.from, "folder of checkpoints (--checkpoint) or model file (--out)")->required();
  app.add_option("--tokens", o.tokens, "characters to write")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40))
      ->capture_default_str();
  app.add_option("--temperature", o.temperature, "0: always the likeliest character; 1: as the model says")
      ->check(command_line::not_negative())
      ->capture_default_str();
  app.add_option("--top-k", o.top_k, "only the k likeliest characters; 0: all")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 20))
      ->capture_default_str();
  command_line::add_seed(app, o, "another seed, another text");
  app.add_option("--prompt", o.prompt, "what the text begins with");
  app.add_option("--mesh", o.mesh,
                 "tensor=b,pipeline=c: where the model is while it writes; nothing said: every rank a stage");
  app.add_option("--threads", o.threads)->check(CLI::Range(1, 100000));
  app.add_option("--thread-ranks", o.thread_ranks, "ranks as threads of this process")->check(CLI::Range(1, 1000));
  command_line::add_timeout(app, o);
  return command_line::parse(app, argc, argv, [] {});
}

}  // namespace gpt
