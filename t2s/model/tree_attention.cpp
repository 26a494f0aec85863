// Tree attention on the CPU, in bfloat16 and in float32: a prefix that every branch sees, each branch causal behind it.
//
// Flash attention (Dao et al. 2022) with the tree in the loops instead of in a mask. A panel is up to 64 queries of one head
// and one segment (the prefix or a branch). It meets the keys it may see in chunks of up to 128, and all of a chunk's scores
// stay in the cache. Scores are kept transposed, keys down and queries across: sums and maxima over keys are then plain
// vector operations, and the matrix units can read weights and their gradients without a transposition between.
//
// A number of a factor is a *cell*. The second factor of a product lies in *words*: in bfloat16 word [r / 2][c] holds row r in
// its low half and row r + 1 in its high half, as the processor multiplies them; in float32 a word is a cell.

#include <ATen/native/CPUBlas.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <vector>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace {

using c10::BFloat16;
using at::native::cpublas::brgemm;

constexpr int64_t kPanel = 64;   // queries; the widest second factor that the products take
constexpr int64_t kChunk = 128;  // keys
constexpr int64_t kStep = 16;    // rows of a matrix unit's tile
constexpr float kHidden = -1e30f;

int64_t padded(int64_t n) { return (n + kStep - 1) / kStep * kStep; }

struct Free { void operator()(void* p) const { std::free(p); } };
template <typename T>
using Buffer = std::unique_ptr<T[], Free>;

template <typename T>
Buffer<T> buffer(int64_t n) {
  void* p = std::aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64);
  if (!p) throw std::bad_alloc();
  return Buffer<T>(static_cast<T*>(p));
}

inline uint32_t rounded(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

inline float widened(uint16_t x) {
  uint32_t bits = uint32_t(x) << 16;
  float y;
  std::memcpy(&y, &bits, 4);
  return y;
}

// e^x for x <= 0 within 3e-7, zero below -87. A plain polynomial (Cephes' expf), which compilers turn into vector code.
inline float exponential(float x) {
  float n = std::nearbyint(std::max(x, -87.f) * 1.44269504f), r = std::max(x, -87.f) - n * 0.693359375f + n * 2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.f;
  int32_t power = (int32_t(n) + 127) << 23;
  float scale;
  std::memcpy(&scale, &power, 4);
  return x < -87.f ? 0.f : y * scale;
}

struct Half {  // bfloat16
  using Cell = uint16_t;
  using Word = uint32_t;
  static constexpr int64_t kCells = 2;  // in a word
  static Cell narrow(float x) { return Cell(rounded(x)); }
  static float widen(Cell x) { return widened(x); }
  static Word word(const Cell* low, const Cell* high) { return (low ? *low : 0) | Word(high ? *high : 0) << 16; }
};

struct Single {  // float32
  using Cell = float;
  using Word = float;
  static constexpr int64_t kCells = 1;
  static Cell narrow(float x) { return x; }
  static float widen(Cell x) { return x; }
  static Word word(const Cell* only, const Cell*) { return only ? *only : 0; }
};

// Sixteen sums side by side; compilers make two registers of them where one is too narrow.
typedef float Lanes __attribute__((vector_size(64)));
typedef float LooseLanes __attribute__((vector_size(64), aligned(4)));
constexpr int64_t kLanes = 16;
// A tile's sums stay in registers, and are enough of them to hide how long each addition takes.
#ifdef __AVX512F__
constexpr int kTileVectors = 4;
#else
constexpr int kTileVectors = 1;
#endif
template <int V>
constexpr int kTileRows = V < 3 && kTileVectors > 1 ? 8 : 4;

inline Lanes multiply_add(float a, const float* b, Lanes sum) { return sum + a * *reinterpret_cast<const LooseLanes*>(b); }

#ifdef __AVX512BF16__
inline Lanes multiply_add(uint32_t a, const uint32_t* b, Lanes sum) {
  return (Lanes)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(int(a)), (__m512bh)_mm512_loadu_si512(b));
}
#endif

// c [rows, 16 V] = or += a [rows, k] x b [k, ...]; k and strides in words.
template <int V, typename Word>
void tile(int64_t k, const Word* a, int64_t ld_a, const Word* b, int64_t ld_b, float* c, int64_t ld_c, bool add) {
  constexpr int R = kTileRows<V>;
  Lanes sums[R][V];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) sums[r][v] = add ? Lanes(*reinterpret_cast<LooseLanes*>(c + r * ld_c + v * kLanes)) : Lanes{};
  for (int64_t i = 0; i < k; ++i)
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < V; ++v) sums[r][v] = multiply_add(a[r * ld_a + i], b + i * ld_b + v * kLanes, sums[r][v]);
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) *reinterpret_cast<LooseLanes*>(c + r * ld_c + v * kLanes) = sums[r][v];
}

template <int V, typename Word>
void columns_of_tiles(int64_t m, int64_t k, const Word* a, int64_t ld_a, const Word* b, int64_t ld_b, float* c, int64_t ld_c, bool add) {
  for (int64_t r = 0; r < m; r += kTileRows<V>) tile<V>(k, a + r * ld_a, ld_a, b, ld_b, c + r * ld_c, ld_c, add);
}

// m is a multiple of eight, n of kLanes.
template <typename Word>
void product_by_tiles(int64_t m, int64_t n, int64_t k, int64_t ld_a, int64_t ld_c, bool add, const Word* a, const Word* b, float* c) {
  for (int64_t at = 0; at < n;) {
    const int64_t vectors = std::min<int64_t>(kTileVectors, (n - at) / kLanes);
    auto* fill = vectors == 1   ? columns_of_tiles<1, Word>
                 : vectors == 2 ? columns_of_tiles<2, Word>
                 : vectors == 3 ? columns_of_tiles<3, Word>
                                : columns_of_tiles<4, Word>;
    fill(m, k, a, ld_a, b + at, n, c + at, ld_c, add);
    at += vectors * kLanes;
  }
}

bool has_matrix_units() {
  static const bool has = at::native::cpublas::could_pack(at::kBFloat16);
  return has;
}

// c [m, n] = or += a [m, k] x words [k, n]. n is at most kPanel.
template <typename F>
void product(
    int64_t m, int64_t n, int64_t k, int64_t ld_a, int64_t ld_c, bool add, const typename F::Cell* a, const typename F::Word* words, float* c) {
  if constexpr (std::is_same_v<F, Half>) {
    if (has_matrix_units()) {
      brgemm(m, n, k, ld_a, n, ld_c, add, reinterpret_cast<const BFloat16*>(a), reinterpret_cast<const BFloat16*>(words), c);
      return;
    }
#ifdef __AVX512BF16__
    product_by_tiles(m, n, k / 2, ld_a / 2, ld_c, add, reinterpret_cast<const uint32_t*>(a), words, c);
#endif
  } else {
    product_by_tiles(m, n, k, ld_a, ld_c, add, a, words, c);
  }
}

struct Segment {
  int64_t start, length;  // in tokens
  int64_t row;            // its first row among the padded ones
};

struct Panel {
  int64_t segment, first, count, width;  // first: within the segment; width: count, padded
};

struct Chunk {
  int64_t row, rows;  // among the padded ones
  int64_t key;        // of its first row, within its segment
  bool own;
};

struct Tree {
  std::vector<Segment> segments;
  std::vector<Panel> panels;
  int64_t rows = 0;

  Tree(const int64_t* lengths, int64_t n) {
    int64_t start = 0;
    for (int64_t s = 0; s < n; ++s) {
      segments.push_back({start, lengths[s], rows});
      for (int64_t first = 0; first < lengths[s]; first += kPanel) {
        int64_t count = std::min(kPanel, lengths[s] - first);
        panels.push_back({s, first, count, padded(count)});
      }
      start += lengths[s];
      rows += padded(lengths[s]);
    }
  }

  // What a panel may see, chunk by chunk. The first chunk shows every query something.
  std::vector<Chunk> seen(const Panel& panel) const {
    std::vector<Chunk> chunks;
    auto add = [&](int64_t row, int64_t rows, bool own) {
      for (int64_t k = 0; k < rows; k += kChunk) chunks.push_back({row + k, std::min(kChunk, rows - k), k, own});
    };
    if (panel.segment) add(0, padded(segments[0].length), false);
    add(segments[panel.segment].row, padded(panel.first + panel.count), true);
    return chunks;
  }

  // Rows before this one of the chunk are seen by query c of the panel.
  int64_t visible(const Chunk& chunk, const Panel& panel, int64_t c) const {
    int64_t keys = chunk.own ? panel.first + c + 1 : segments[0].length;
    return keys - chunk.key;
  }

  // Whether some query of the panel may not see some key of the chunk.
  bool hides(const Chunk& chunk, const Panel& panel) const { return visible(chunk, panel, 0) < chunk.rows; }
};

// A tensor [heads, T, D] somewhere in memory, D side by side.
template <typename F>
struct View {
  const typename F::Cell* data;
  int64_t head, token;  // strides
  const typename F::Cell* at(int64_t h, int64_t t) const { return data + h * head + t * token; }
};

// Keys or values of one head: rows [rows, D] and their transpose [D, rows]; zero where a segment is padded.
template <typename F>
struct Keys {
  using Cell = typename F::Cell;
  Buffer<Cell> rows, columns;

  void take(const Tree& tree, View<F> x, int64_t h, int64_t D, bool want_rows, bool want_columns) {
    auto copy = [&](Cell* out, int64_t down, int64_t across) {
      std::memset(out, 0, tree.rows * D * sizeof(Cell));
      for (const Segment& s : tree.segments)
        for (int64_t i = 0; i < s.length; ++i) {
          const Cell* from = x.at(h, s.start + i);
          Cell* to = out + (s.row + i) * down;
          if (across == 1) std::memcpy(to, from, D * sizeof(Cell));
          else for (int64_t d = 0; d < D; ++d) to[d * across] = from[d];
        }
    };
    if (want_rows) copy((rows = buffer<Cell>(tree.rows * D)).get(), D, 1);
    if (want_columns) copy((columns = buffer<Cell>(tree.rows * D)).get(), 1, tree.rows);
  }
};

// The panel's rows as second factor of keys x rows^T: words [D, width].
template <typename F>
void words_of_columns(const Panel& p, int64_t start, View<F> x, int64_t h, int64_t D, typename F::Word* out) {
  constexpr int64_t n = F::kCells;
  for (int64_t c = 0; c < p.width; ++c) {
    const auto* from = c < p.count ? x.at(h, start + c) : nullptr;
    for (int64_t d = 0; d < D / n; ++d) out[d * p.width + c] = from ? F::word(from + n * d, from + n * d + n - 1) : 0;
  }
}

// The panel's rows as second factor of weights^T x rows: for each 64 of D, words [width, up to 64].
template <typename F>
void words_of_rows(const Panel& p, int64_t start, View<F> x, int64_t h, int64_t D, typename F::Word* out) {
  for (int64_t d0 = 0; d0 < D; d0 += kPanel) {
    int64_t n = std::min(kPanel, D - d0);
    for (int64_t c = 0; c < p.width; c += F::kCells, out += n) {
      const auto* low = c < p.count ? x.at(h, start + c) + d0 : nullptr;
      const auto* high = c + 1 < p.count ? x.at(h, start + c + 1) + d0 : nullptr;
      for (int64_t d = 0; d < n; ++d) out[d] = F::word(low ? low + d : nullptr, high ? high + d : nullptr);
    }
  }
}

struct Problem {
  Tree tree;
  int64_t H, K, D;
  float scale;
};

template <typename F>
void attend(
    const Problem& p, const Panel& panel, int64_t h, View<F> q, const Keys<F>& k, const Keys<F>& v, typename F::Cell* out, float* lse,
    int64_t T) {
  const int64_t W = panel.width, D = p.D, start = p.tree.segments[panel.segment].start + panel.first;
  constexpr int64_t n = F::kCells;
  alignas(64) typename F::Word query[256 / n * kPanel], weights[kChunk / n * kPanel];
  alignas(64) float scores[kChunk * kPanel], sum_DW[256 * kPanel], highest[kPanel], before[kPanel], total[kPanel];
  words_of_columns(panel, start, q, h, D, query);
  std::fill_n(highest, W, kHidden);
  std::fill_n(total, W, 0.f);
  bool first = true;
  for (const Chunk& chunk : p.tree.seen(panel)) {
    product<F>(chunk.rows, W, D, D, W, false, k.rows.get() + chunk.row * D, query, scores);
    if (p.tree.hides(chunk, panel))
      for (int64_t c = 0; c < W; ++c)
        for (int64_t r = std::max<int64_t>(0, p.tree.visible(chunk, panel, c)); r < chunk.rows; ++r) scores[r * W + c] = kHidden;
    std::copy_n(highest, W, before);
    for (int64_t r = 0; r < chunk.rows; ++r)
#pragma omp simd
      for (int64_t c = 0; c < W; ++c) highest[c] = std::max(highest[c], scores[r * W + c] * p.scale);
    for (int64_t r = 0; r < chunk.rows; r += 2) {
      const float *low = scores + r * W, *high = low + W;
      typename F::Word* word = weights + r / n * W;
#pragma omp simd
      for (int64_t c = 0; c < W; ++c) {
        float a = exponential(low[c] * p.scale - highest[c]), b = exponential(high[c] * p.scale - highest[c]);
        scores[r * W + c] = a + b;
        if constexpr (n == 2) word[c] = rounded(a) | rounded(b) << 16;
        else word[c] = a, word[W + c] = b;
      }
    }
    if (!first) {
#pragma omp simd
      for (int64_t c = 0; c < W; ++c) before[c] = exponential(before[c] - highest[c]);
      for (int64_t c = 0; c < W; ++c) total[c] *= before[c];
      for (int64_t d = 0; d < D; ++d)
#pragma omp simd
        for (int64_t c = 0; c < W; ++c) sum_DW[d * W + c] *= before[c];
    }
    for (int64_t r = 0; r < chunk.rows; r += 2)
#pragma omp simd
      for (int64_t c = 0; c < W; ++c) total[c] += scores[r * W + c];
    product<F>(D, W, chunk.rows, p.tree.rows, W, !first, v.columns.get() + chunk.row, weights, sum_DW);
    first = false;
  }
  for (int64_t c = 0; c < panel.count; ++c) {
    typename F::Cell* to = out + ((start + c) * p.H + h) * D;
    for (int64_t d = 0; d < D; ++d) to[d] = F::narrow(sum_DW[d * W + c] / total[c]);
    lse[h * T + start + c] = highest[c] + std::log(total[c]);
  }
}

// Adds to the gradients of keys and values (float32 [rows, D]) what one panel of queries sends them, and writes the queries'.
template <typename F>
void attend_backward(
    const Problem& p, const Panel& panel, int64_t h, View<F> grad, View<F> q, View<F> out, const Keys<F>& k, const Keys<F>& v,
    const float* lse, int64_t T, float* dk, float* dv, typename F::Cell* dq) {
  using Cell = typename F::Cell;
  using Word = typename F::Word;
  constexpr int64_t cells = F::kCells;
  const int64_t W = panel.width, D = p.D, start = p.tree.segments[panel.segment].start + panel.first;
  constexpr int64_t most = 256 / cells * kPanel;
  alignas(64) Word query[most], gradient[most], query_rows[most], gradient_rows[most], dscore_words[kChunk / cells * kPanel];
  alignas(64) Cell weights[kChunk * kPanel], dscores[kChunk * kPanel];
  alignas(64) float scores[kChunk * kPanel], dweights[kChunk * kPanel], sum_DW[256 * kPanel], level[kPanel], mean[kPanel];
  words_of_columns(panel, start, q, h, D, query);
  words_of_columns(panel, start, grad, h, D, gradient);
  words_of_rows(panel, start, q, h, D, query_rows);
  words_of_rows(panel, start, grad, h, D, gradient_rows);
  for (int64_t c = 0; c < W; ++c) {
    level[c] = mean[c] = 0;
    if (c >= panel.count) continue;
    const Cell *g = grad.at(h, start + c), *o = out.at(h, start + c);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < D; ++d) sum += F::widen(g[d]) * F::widen(o[d]);
    mean[c] = sum;
    level[c] = lse[h * T + start + c];
  }
  bool first = true;
  for (const Chunk& chunk : p.tree.seen(panel)) {
    product<F>(chunk.rows, W, D, D, W, false, k.rows.get() + chunk.row * D, query, scores);
    product<F>(chunk.rows, W, D, D, W, false, v.rows.get() + chunk.row * D, gradient, dweights);
    if (p.tree.hides(chunk, panel))
      for (int64_t c = 0; c < W; ++c)
        for (int64_t r = std::max<int64_t>(0, p.tree.visible(chunk, panel, c)); r < chunk.rows; ++r) scores[r * W + c] = kHidden;
    for (int64_t r = 0; r < chunk.rows; r += 2) {
      const float *s = scores + r * W, *g = dweights + r * W;
      Cell *w = weights + r * W, *ds = dscores + r * W;
      Word* word = dscore_words + r / cells * W;
#pragma omp simd
      for (int64_t c = 0; c < W; ++c) {
        float low = exponential(s[c] * p.scale - level[c]), high = exponential(s[W + c] * p.scale - level[c]);
        Cell dlow = F::narrow(low * (g[c] - mean[c])), dhigh = F::narrow(high * (g[W + c] - mean[c]));
        w[c] = F::narrow(low);
        w[W + c] = F::narrow(high);
        ds[c] = dlow;
        ds[W + c] = dhigh;
        if constexpr (cells == 2) word[c] = dlow | Word(dhigh) << 16;
        else word[c] = dlow, word[W + c] = dhigh;
      }
    }
    for (int64_t d0 = 0; d0 < D; d0 += kPanel) {
      int64_t n = std::min(kPanel, D - d0), at = chunk.row * D + d0;
      product<F>(chunk.rows, n, W, W, D, true, weights, gradient_rows + d0 * W / cells, dv + at);
      product<F>(chunk.rows, n, W, W, D, true, dscores, query_rows + d0 * W / cells, dk + at);
    }
    product<F>(D, W, chunk.rows, p.tree.rows, W, !first, k.columns.get() + chunk.row, dscore_words, sum_DW);
    first = false;
  }
  for (int64_t c = 0; c < panel.count; ++c) {
    Cell* to = dq + ((start + c) * p.H + h) * D;
    for (int64_t d = 0; d < D; ++d) to[d] = F::narrow(sum_DW[d * W + c] * p.scale);
  }
}

template <typename F>
int guarded(F f) {
  try {
    f();
    return 0;
  } catch (...) {
    return 1;
  }
}

// x_strides: of head and token, in elements. out: [T, H, D]; lse: [H, T]. Returns 0, or 1 if it failed.
template <typename F>
int tree_forward(
    const typename F::Cell* q, const int64_t* q_strides, const typename F::Cell* k, const int64_t* k_strides, const typename F::Cell* v, const int64_t* v_strides,
    const int64_t* lengths, int64_t n, int64_t H, int64_t K, int64_t T, int64_t D, float scale, int threads, typename F::Cell* out, float* lse) {
  return guarded([&] {
    Problem p{Tree(lengths, n), H, K, D, scale};
    std::vector<Keys<F>> keys(K), values(K);
    View<F> queries{q, q_strides[0], q_strides[1]}, all_keys{k, k_strides[0], k_strides[1]}, all_values{v, v_strides[0], v_strides[1]};
    const int64_t panels = p.tree.panels.size();
    std::atomic<int> failed{0};
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(dynamic)
      for (int64_t i = 0; i < 2 * K; ++i)
        failed |= guarded([&] { i % 2 ? values[i / 2].take(p.tree, all_values, i / 2, D, false, true) : keys[i / 2].take(p.tree, all_keys, i / 2, D, true, false); });
#pragma omp for schedule(dynamic)
      for (int64_t i = 0; i < H * panels; ++i) {
        int64_t h = i / panels;
        if (!failed) failed |= guarded([&] { attend(p, p.tree.panels[i % panels], h, queries, keys[h * K / H], values[h * K / H], out, lse, T); });
      }
      if (std::is_same_v<F, Half> && has_matrix_units()) at::native::cpublas::brgemm_release();
    }
    if (failed) throw std::runtime_error("tree attention");
  });
}

// grad, out: [heads, T, D] by strides. dq: [T, H, D]; dk, dv: [T, K, D]. Returns 0, or 1 if it failed.
template <typename F>
int tree_backward(
    const typename F::Cell* grad, const int64_t* grad_strides, const typename F::Cell* q, const int64_t* q_strides, const typename F::Cell* k,
    const int64_t* k_strides, const typename F::Cell* v, const int64_t* v_strides, const typename F::Cell* out, const int64_t* out_strides,
    const float* lse, const int64_t* lengths, int64_t n, int64_t H, int64_t K, int64_t T, int64_t D, float scale, int threads,
    typename F::Cell* dq, typename F::Cell* dk, typename F::Cell* dv) {
  return guarded([&] {
    Problem p{Tree(lengths, n), H, K, D, scale};
    const Tree& tree = p.tree;
    std::vector<Keys<F>> keys(K), values(K);
    View<F> queries{q, q_strides[0], q_strides[1]}, all_keys{k, k_strides[0], k_strides[1]}, all_values{v, v_strides[0], v_strides[1]};
    View<F> gradients{grad, grad_strides[0], grad_strides[1]}, outputs{out, out_strides[0], out_strides[1]};
    // Panels are dealt to parts of equal work, each with sums of its own, added in order: the same figures at every run.
    const int64_t parts = std::max<int64_t>(1, (4 * threads + K - 1) / K);
    std::vector<int64_t> part_of;
    int64_t work = 0, done = 0;
    for (const Panel& panel : tree.panels) work += tree.seen(panel).size();
    for (const Panel& panel : tree.panels) {
      part_of.push_back(std::min(parts - 1, done * parts / std::max<int64_t>(1, work)));
      done += tree.seen(panel).size();
    }
    const int64_t size = tree.rows * D;
    Buffer<float> sums = buffer<float>(2 * K * parts * size);
    std::atomic<int> failed{0};
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(dynamic)
      for (int64_t i = 0; i < 2 * K; ++i)
        failed |= guarded([&] { i % 2 ? values[i / 2].take(tree, all_values, i / 2, D, true, false) : keys[i / 2].take(tree, all_keys, i / 2, D, true, true); });
#pragma omp for schedule(dynamic)
      for (int64_t i = 0; i < K * parts; ++i) {
        float *dks = sums.get() + 2 * i * size, *dvs = dks + size;
        std::memset(dks, 0, 2 * size * sizeof(float));
        int64_t kh = i / parts;
        for (size_t j = 0; j < tree.panels.size(); ++j)
          for (int64_t h = kh * (H / K); part_of[j] == i % parts && h < (kh + 1) * (H / K); ++h)
            if (!failed) failed |= guarded([&] {
              attend_backward(p, tree.panels[j], h, gradients, queries, outputs, keys[kh], values[kh], lse, T, dks, dvs, dq);
            });
      }
#pragma omp for schedule(static)
      for (int64_t i = 0; i < K * int64_t(tree.segments.size()); ++i) {
        const Segment& s = tree.segments[i / K];
        int64_t h = i % K;
        const float* first = sums.get() + 2 * h * parts * size;
        for (int64_t t = 0; t < s.length; ++t) {
          typename F::Cell *dk_row = dk + ((s.start + t) * K + h) * D, *dv_row = dv + ((s.start + t) * K + h) * D;
#pragma omp simd
          for (int64_t d = 0; d < D; ++d) {
            float key = 0, value = 0;
            for (int64_t part = 0; part < parts; ++part) {
              const float* at = first + 2 * part * size + (s.row + t) * D + d;
              key += at[0];
              value += at[size];
            }
            dk_row[d] = F::narrow(key * scale);
            dv_row[d] = F::narrow(value);
          }
        }
      }
      if (std::is_same_v<F, Half> && has_matrix_units()) at::native::cpublas::brgemm_release();
    }
    if (failed) throw std::runtime_error("tree attention");
  });
}

}  // namespace

// One pair of functions for each kind of number, by macro, so that their long lists of arguments stand once.
#define T2S_TREE(name, F)                                                                                                          \
  int t2s_tree_forward_##name(                                                                                                     \
      const F::Cell* q, const int64_t* q_strides, const F::Cell* k, const int64_t* k_strides, const F::Cell* v,                    \
      const int64_t* v_strides, const int64_t* lengths, int64_t n, int64_t H, int64_t K, int64_t T, int64_t D, float scale,        \
      int threads, F::Cell* out, float* lse) {                                                                                     \
    return tree_forward<F>(q, q_strides, k, k_strides, v, v_strides, lengths, n, H, K, T, D, scale, threads, out, lse);            \
  }                                                                                                                                \
  int t2s_tree_backward_##name(                                                                                                    \
      const F::Cell* grad, const int64_t* grad_strides, const F::Cell* q, const int64_t* q_strides, const F::Cell* k,              \
      const int64_t* k_strides, const F::Cell* v, const int64_t* v_strides, const F::Cell* out, const int64_t* out_strides,        \
      const float* lse, const int64_t* lengths, int64_t n, int64_t H, int64_t K, int64_t T, int64_t D, float scale, int threads,   \
      F::Cell* dq, F::Cell* dk, F::Cell* dv) {                                                                                     \
    return tree_backward<F>(grad, grad_strides, q, q_strides, k, k_strides, v, v_strides, out, out_strides, lse, lengths, n, H, K, \
                            T, D, scale, threads, dq, dk, dv);                                                                     \
  }

extern "C" {

// Whether this processor multiplies bfloat16 numbers, in matrix units or in vectors. float32 it always can.
int t2s_tree_has_half() {
#ifdef __AVX512BF16__
  return 1;
#else
  return has_matrix_units();
#endif
}

T2S_TREE(half, Half)
T2S_TREE(single, Single)
}
