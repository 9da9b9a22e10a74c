fn activated(x: f32) -> f32 {
  let inner = 0.7978845608f * (x + 0.044715f * x * x * x);
  return 0.5f * x * (1f + tanh(clamp(inner, -15f, 15f)));
}
