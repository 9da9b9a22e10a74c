// Codes of x, where no kernel that makes it does it as well.
@group(0) @binding(1) var<storage, read> x: array<f32>;

fn result(i: u32) -> f32 {
  return x[i];
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let unit = linear(group) * LANES + lane;
  if (unit < n_rows() * UNITS) {
    round_unit(unit);
  }
}
