// Scale i of block b: 4 bits of the first 8 bytes, 2 of the last 4.
fn scale_at(b: u32, i: u32) -> f32 {
  let low = (byte_at(SCALES, 12u * b + (i & 7u)) >> (4u * (i / 8u))) & 15u;
  let high = (byte_at(SCALES, 12u * b + 8u + (i & 3u)) >> (2u * (i / 4u))) & 3u;
  return f32(low | (high << 4u)) - 32f;
}

fn codes(row: u32, unit: u32) -> Codes {
  let b = row * (UNITS / 8u) + unit / 8u;
  let part = unit & 7u;
  let at = QS / 4u + 4u * b + 2u * (part / 4u);
  let shift = vec4(2u * (part & 3u));
  let top = HMASK / 4u + 2u * b;
  let scale = half_at(D, b) * vec2(scale_at(b, 2u * part), scale_at(b, 2u * part + 1u));
  return Codes(
    ((quads[at] >> shift) & (3u * BITS)) | (((quads[top] >> vec4(part)) & BITS) << vec4(2u)),
    ((quads[at + 1u] >> shift) & (3u * BITS))
      | (((quads[top + 1u] >> vec4(part)) & BITS) << vec4(2u)),
    scale,
    -4f * scale,
  );
}
