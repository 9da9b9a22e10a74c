// heads of DIM values, of which 2 * PAIRS from FIRST on are turned
@group(0) @binding(9) var<storage, read> angles: array<f32>;  // (n, 2, PAIRS): cosines, sines

fn value(t: u32, i: u32) -> f32 {
  let at = t * WIDTH + i;
  let j = i % DIM - FIRST;
  if (i % DIM < FIRST || j >= 2u * PAIRS) {
    return x[at];
  }
  let pair = select(j % PAIRS, j / 2u, INTERLEAVED);
  let second = select(j >= PAIRS, (j & 1u) == 1u, INTERLEAVED);
  let apart = select(PAIRS, 1u, INTERLEAVED);
  let cosine = angles[2u * t * PAIRS + pair];
  let sine = angles[2u * t * PAIRS + PAIRS + pair];
  if (second) {
    return x[at - apart] * sine + x[at] * cosine;
  }
  return x[at] * cosine - x[at + apart] * sine;
}
