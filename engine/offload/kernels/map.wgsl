// out[t, i] = value(t, i), value by value: see the files in `maps`.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> z: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let at = linear(group) * LANES + lane;
  if (at < n_rows() * WIDTH) {
    out[at] = value(at / WIDTH, at % WIDTH);
  }
}
