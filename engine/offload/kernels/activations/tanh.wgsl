fn activated(x: f32) -> f32 {
  return unless_nan(x, tanh(clamp(x, -15f, 15f)));
}
