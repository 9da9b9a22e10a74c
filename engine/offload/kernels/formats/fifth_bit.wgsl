// 16 bits as the fifth bit of 16 bytes.
fn fifth(bits: u32) -> vec4<u32> {
  let four = vec4(bits, bits >> 4u, bits >> 8u, bits >> 12u) & vec4(15u);
  return ((four * 0x00204081u) & BITS) << vec4(4u);
}
