// Pages hold PAGE positions of every KV head, two float16 to a word.
@group(0) @binding(2) var<storage, read> tables: array<u32>;  // the pages of sequences, in order
// position, first of its pages in `tables`; and of tile i of tokens the first, and how many
@group(0) @binding(10) var<storage, read> tokens: array<vec4<u32>>;

fn page_of(first: u32, position: u32) -> u32 {
  return tables[first + position / PAGE];
}

// The first word of `position`, of `pairs` words, in a page.
fn word_of(page: u32, head: u32, position: u32, pairs: u32) -> u32 {
  return ((page * KV_HEADS + head) * PAGE + position % PAGE) * pairs;
}
