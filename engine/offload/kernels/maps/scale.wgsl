fn value(t: u32, i: u32) -> f32 {
  return FACTOR * x[t * WIDTH + i] * y[i % PERIOD] + z[i % PERIOD];
}
