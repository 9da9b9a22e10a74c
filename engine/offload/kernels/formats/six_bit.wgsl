// Scale and offset of a part of 32 weights, 6 bits each: see `scales_and_lows` of quant/kquants.
fn six_bit(b: u32, part: u32) -> vec2<f32> {
  let first = vec2(words[SCALES + 3u * b], words[SCALES + 3u * b + 1u]);
  let last = words[SCALES + 3u * b + 2u];
  let shift = 8u * (part & 3u);
  let whole = (first >> vec2(shift)) & vec2(63u);
  let joined = ((vec2(last, last >> 4u) >> vec2(shift)) & vec2(15u))
    | (((first >> vec2(shift + 6u)) & vec2(3u)) << vec2(4u));
  return vec2<f32>(select(joined, whole, part < 4u));
}
