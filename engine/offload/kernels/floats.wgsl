// Products of a format whose `weights` are floats.
fn dot_unit(row: u32, unit: u32, low: mat4x4<f32>, high: mat4x4<f32>, sums: vec2<f32>) -> f32 {
  let w = weights(row, unit);
  return dot16(w.low, low) + dot16(w.high, high);
}
