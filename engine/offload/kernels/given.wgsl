// 32 values of x as float32.
@group(0) @binding(3) var<storage, read> x: array<mat4x4<f32>>;

struct Given {
  low: mat4x4<f32>,
  high: mat4x4<f32>,
  sums: vec2<f32>,
}

fn given(t: u32, unit: u32) -> Given {
  let low = x[2u * (t * UNITS + unit)];
  let high = x[2u * (t * UNITS + unit) + 1u];
  let sums = vec2(
    dot(low[0] + low[1] + low[2] + low[3], vec4(1f)),
    dot(high[0] + high[1] + high[2] + high[3], vec4(1f)),
  );
  return Given(low, high, sums);
}
