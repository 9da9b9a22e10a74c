fn value(t: u32, i: u32) -> f32 {
  return x[t * WIDTH + i];
}
