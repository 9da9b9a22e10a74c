// Each byte of nibbles replaced by the int8 of LEVELS that it numbers.
fn level(i: u32) -> u32 {
  let pair = select(LEVELS.xy, LEVELS.zw, i >= 8u);
  let word = select(pair.x, pair.y, (i & 4u) != 0u);
  return (word >> (8u * (i & 3u))) & 255u;
}

fn levels_of(q: u32) -> u32 {
  return level(q & 15u) | (level((q >> 8u) & 15u) << 8u) | (level((q >> 16u) & 15u) << 16u)
    | (level((q >> 24u) & 15u) << 24u);
}

fn looked_up(q: vec4<u32>) -> vec4<u32> {
  return vec4(levels_of(q.x), levels_of(q.y), levels_of(q.z), levels_of(q.w));
}
