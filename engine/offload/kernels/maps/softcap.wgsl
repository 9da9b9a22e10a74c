fn value(t: u32, i: u32) -> f32 {
  return CAP * tanh(clamp(x[t * WIDTH + i] / CAP, -15f, 15f));
}
