fn activated(x: f32) -> f32 {
  return unless_nan(x, max(x, 0f) * max(x, 0f));
}
