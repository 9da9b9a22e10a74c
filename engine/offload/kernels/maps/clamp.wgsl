fn value(t: u32, i: u32) -> f32 {
  return clamp(x[t * WIDTH + i], LOWEST, HIGHEST);
}
