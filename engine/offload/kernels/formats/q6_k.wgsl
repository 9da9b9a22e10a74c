fn codes(row: u32, unit: u32) -> Codes {
  let b = row * (UNITS / 8u) + unit / 8u;
  let part = unit & 7u;
  let at = QL / 4u + 8u * b + 4u * (part / 4u) + 2u * (part & 1u);
  let shift = vec4(2u * (part & 2u));
  let top = QH / 4u + 4u * b + 2u * (part / 4u);
  let high = vec4(2u * (part & 3u));
  let scales = vec4<f32>(unpack4xI8(words[SCALES + 4u * b + part / 2u]));
  let scale = half_at(D, b) * select(scales.xy, scales.zw, (part & 1u) == 1u);
  return Codes(
    ((quads[at] >> shift) & NIBBLES) | (((quads[top] >> high) & (3u * BITS)) << vec4(4u)),
    ((quads[at + 1u] >> shift) & NIBBLES)
      | (((quads[top + 1u] >> high) & (3u * BITS)) << vec4(4u)),
    scale,
    -32f * scale,
  );
}
