fn activated(x: f32) -> f32 {
  return x / (1f + exp(min(-x, 80f)));
}
