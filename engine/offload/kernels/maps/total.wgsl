// of rows of OF values, which are few
fn value(t: u32, i: u32) -> f32 {
  let first = (t * WIDTH + i) * OF;
  var sum = 0f;
  for (var j = 0u; j < OF; j++) {
    sum += x[first + j];
  }
  return sum;
}
