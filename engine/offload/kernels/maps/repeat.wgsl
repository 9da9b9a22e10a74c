// N rows of DIM values, each TIMES times
fn value(t: u32, i: u32) -> f32 {
  let row = select(i / DIM / TIMES, i / DIM % N, TILED);
  return x[(t * N + row) * DIM + i % DIM];
}
