fn value(t: u32, i: u32) -> f32 {
  return activated(x[t * WIDTH + i]) * y[t * WIDTH + i];
}
