// What every kernel knows of the run that it is part of.
struct Run {
  n: u32,  // tokens
  n_outputs: u32,  // tokens whose logits are wanted
  n_splits: u32,  // pieces of SPAN positions that attention is cut into
  few: u32,  // 1 if products are done vector by vector
}
@group(0) @binding(0) var<uniform> run: Run;

const SIDE: u32 = 32768u;  // workgroups along x, where there are more than fit one dimension

fn linear(group: vec3<u32>) -> u32 {
  return group.y * SIDE + group.x;
}

// Rows of the tensors: all tokens', or those of the outputs only.
fn n_rows() -> u32 {
  return select(run.n, run.n_outputs, OUTPUTS_ONLY);
}

// y, or x if that is NaN: `min`, `max` and `clamp` may take it for any number.
fn unless_nan(x: f32, y: f32) -> f32 {
  return select(y, x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
}
