// of rows of OF values, WANTED from FIRST on
fn value(t: u32, i: u32) -> f32 {
  return x[(t * WIDTH + i) / WANTED * OF + FIRST + i % WANTED];
}
