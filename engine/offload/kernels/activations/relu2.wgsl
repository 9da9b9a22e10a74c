fn activated(x: f32) -> f32 {
  return max(x, 0f) * max(x, 0f);
}
