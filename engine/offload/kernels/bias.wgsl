@group(0) @binding(5) var<storage, read> bias: array<f32>;

fn biased(row: u32, value: f32) -> f32 {
  return value + bias[row];
}
