fn activated(x: f32) -> f32 {
  return unless_nan(x, 1f / (1f + exp(min(-x, 80f))));
}
