// Each 32 values x as int8 codes q, four to a word: x = scale * q. `scales` are (scale, sum of the
// first 16 of scale * q, of the last 16, 0).
@group(0) @binding(1) var<storage, read> x: array<mat4x4<f32>>;
@group(0) @binding(2) var<storage, read_write> codes: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> scales: array<vec4<f32>>;

fn peak(x: mat4x4<f32>) -> f32 {
  let most = max(max(abs(x[0]), abs(x[1])), max(abs(x[2]), abs(x[3])));
  return max(max(most.x, most.y), max(most.z, most.w));
}

fn coded(x: mat4x4<f32>, inverse: f32) -> vec4<u32> {
  let y = x * inverse;
  return vec4(
    pack4xI8(vec4<i32>(round(y[0]))),
    pack4xI8(vec4<i32>(round(y[1]))),
    pack4xI8(vec4<i32>(round(y[2]))),
    pack4xI8(vec4<i32>(round(y[3]))),
  );
}

fn sum(codes: vec4<u32>) -> f32 {
  const ONES = 0x01010101u;
  return f32(
    dot4I8Packed(codes.x, ONES) + dot4I8Packed(codes.y, ONES)
    + dot4I8Packed(codes.z, ONES) + dot4I8Packed(codes.w, ONES)
  );
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let unit = linear(group) * LANES + lane;
  if (unit >= n_rows() * UNITS) {
    return;
  }
  let low = x[2u * unit];
  let high = x[2u * unit + 1u];
  let scale = max(peak(low), peak(high)) / 127f;
  let inverse = select(0f, 1f / scale, scale > 0f);
  let first = coded(low, inverse);
  let second = coded(high, inverse);
  codes[2u * unit] = first;
  codes[2u * unit + 1u] = second;
  scales[unit] = vec4(scale, scale * sum(first), scale * sum(second), 0f);
}
