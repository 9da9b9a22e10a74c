// Floats of a format that has `codes`.
fn weights(row: u32, unit: u32) -> Weights {
  let c = codes(row, unit);
  let ones = mat4x4<f32>(vec4(1f), vec4(1f), vec4(1f), vec4(1f));
  return Weights(
    floats_of(c.low) * c.scale.x + ones * c.offset.x,
    floats_of(c.high) * c.scale.y + ones * c.offset.y,
  );
}

// The weights' products with 32 values, whose halves sum up to `sums`.
fn dot_unit(row: u32, unit: u32, low: mat4x4<f32>, high: mat4x4<f32>, sums: vec2<f32>) -> f32 {
  let c = codes(row, unit);
  let products = vec2(dot16(floats_of(c.low), low), dot16(floats_of(c.high), high));
  return dot(c.scale, products) + dot(c.offset, sums);
}
