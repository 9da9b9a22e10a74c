fn activated(x: f32) -> f32 {
  return tanh(clamp(x, -15f, 15f));
}
