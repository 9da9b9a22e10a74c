fn four(words: vec2<u32>) -> vec4<f32> {
  let upper = vec4(0xffff0000u);
  return bitcast<vec4<f32>>(vec4(words.x << 16u, words.x, words.y << 16u, words.y) & upper);
}
