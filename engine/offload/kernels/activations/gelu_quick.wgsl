fn activated(x: f32) -> f32 {
  return x / (1f + exp(min(-1.702f * x, 80f)));
}
