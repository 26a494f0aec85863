// Tree attention in bfloat16 on the CPU: a prefix that every branch sees, each branch causal behind it.
//
// Flash attention (Dao et al. 2022) with the tree in the loops instead of in a mask. A panel is up to 64 queries of one head
// and one segment (the prefix or a branch). It meets the keys it may see in chunks of up to 128, and all of a chunk's scores
// stay in the cache. Scores are kept transposed, keys down and queries across: sums and maxima over keys are then plain
// vector operations, and the matrix units can read weights and their gradients without a transposition between.
//
// A "pairs" matrix holds two rows in one: word [r / 2][c] is row r in its low half and row r + 1 in its high half. It is how
// the second factor of a bfloat16 product must lie.

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
#include <vector>

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
struct View {
  const uint16_t* data;
  int64_t head, token;  // strides
  const uint16_t* at(int64_t h, int64_t t) const { return data + h * head + t * token; }
};

// Keys or values of one head: rows [rows, D] and their transpose [D, rows]; zero where a segment is padded.
struct Keys {
  Buffer<uint16_t> rows, columns;

  void take(const Tree& tree, View x, int64_t h, int64_t D, bool want_rows, bool want_columns) {
    auto copy = [&](uint16_t* out, int64_t down, int64_t across) {
      std::memset(out, 0, tree.rows * D * 2);
      for (const Segment& s : tree.segments)
        for (int64_t i = 0; i < s.length; ++i) {
          const uint16_t* from = x.at(h, s.start + i);
          uint16_t* to = out + (s.row + i) * down;
          if (across == 1) std::memcpy(to, from, D * 2);
          else for (int64_t d = 0; d < D; ++d) to[d * across] = from[d];
        }
    };
    if (want_rows) copy((rows = buffer<uint16_t>(tree.rows * D)).get(), D, 1);
    if (want_columns) copy((columns = buffer<uint16_t>(tree.rows * D)).get(), 1, tree.rows);
  }
};

// The panel's rows as second factor of keys x rows^T: pairs [D / 2, width].
void pairs_of_columns(const Panel& p, int64_t start, View x, int64_t h, int64_t D, uint32_t* out) {
  for (int64_t c = 0; c < p.width; ++c) {
    const uint16_t* from = c < p.count ? x.at(h, start + c) : nullptr;
    for (int64_t d = 0; d < D / 2; ++d) out[d * p.width + c] = from ? from[2 * d] | uint32_t(from[2 * d + 1]) << 16 : 0;
  }
}

// The panel's rows as second factor of weights^T x rows: for each 64 of D, pairs [width / 2, up to 64].
void pairs_of_rows(const Panel& p, int64_t start, View x, int64_t h, int64_t D, uint32_t* out) {
  for (int64_t d0 = 0; d0 < D; d0 += kPanel) {
    int64_t n = std::min(kPanel, D - d0);
    for (int64_t c = 0; c < p.width; c += 2, out += n) {
      const uint16_t* low = c < p.count ? x.at(h, start + c) + d0 : nullptr;
      const uint16_t* high = c + 1 < p.count ? x.at(h, start + c + 1) + d0 : nullptr;
      for (int64_t d = 0; d < n; ++d) out[d] = (low ? low[d] : 0) | uint32_t(high ? high[d] : 0) << 16;
    }
  }
}

void product(int64_t m, int64_t n, int64_t k, int64_t ld_a, int64_t ld_c, bool add, const uint16_t* a, const uint32_t* pairs, float* c) {
  brgemm(m, n, k, ld_a, n, ld_c, add, reinterpret_cast<const BFloat16*>(a), reinterpret_cast<const BFloat16*>(pairs), c);
}

struct Problem {
  Tree tree;
  int64_t H, K, D;
  float scale;
};

void attend(const Problem& p, const Panel& panel, int64_t h, View q, const Keys& k, const Keys& v, uint16_t* out, float* lse, int64_t T) {
  const int64_t W = panel.width, D = p.D, start = p.tree.segments[panel.segment].start + panel.first;
  alignas(64) uint32_t query[128 * kPanel], weights[kChunk / 2 * kPanel];
  alignas(64) float scores[kChunk * kPanel], sum_DW[256 * kPanel], highest[kPanel], before[kPanel], total[kPanel];
  pairs_of_columns(panel, start, q, h, D, query);
  std::fill_n(highest, W, kHidden);
  std::fill_n(total, W, 0.f);
  bool first = true;
  for (const Chunk& chunk : p.tree.seen(panel)) {
    product(chunk.rows, W, D, D, W, false, k.rows.get() + chunk.row * D, query, scores);
    if (p.tree.hides(chunk, panel))
      for (int64_t c = 0; c < W; ++c)
        for (int64_t r = std::max<int64_t>(0, p.tree.visible(chunk, panel, c)); r < chunk.rows; ++r) scores[r * W + c] = kHidden;
    std::copy_n(highest, W, before);
    for (int64_t r = 0; r < chunk.rows; ++r)
#pragma omp simd
      for (int64_t c = 0; c < W; ++c) highest[c] = std::max(highest[c], scores[r * W + c] * p.scale);
    for (int64_t r = 0; r < chunk.rows; r += 2) {
      const float *low = scores + r * W, *high = low + W;
      uint32_t* pair = weights + r / 2 * W;
#pragma omp simd
      for (int64_t c = 0; c < W; ++c) {
        float a = exponential(low[c] * p.scale - highest[c]), b = exponential(high[c] * p.scale - highest[c]);
        scores[r * W + c] = a + b;
        pair[c] = rounded(a) | rounded(b) << 16;
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
    product(D, W, chunk.rows, p.tree.rows, W, !first, v.columns.get() + chunk.row, weights, sum_DW);
    first = false;
  }
  for (int64_t c = 0; c < panel.count; ++c) {
    uint16_t* to = out + ((start + c) * p.H + h) * D;
    for (int64_t d = 0; d < D; ++d) to[d] = uint16_t(rounded(sum_DW[d * W + c] / total[c]));
    lse[h * T + start + c] = highest[c] + std::log(total[c]);
  }
}

// Adds to the gradients of keys and values (float32 [rows, D]) what one panel of queries sends them, and writes the queries'.
void attend_backward(
    const Problem& p, const Panel& panel, int64_t h, View grad, View q, View out, const Keys& k, const Keys& v, const float* lse,
    int64_t T, float* dk, float* dv, uint16_t* dq) {
  const int64_t W = panel.width, D = p.D, start = p.tree.segments[panel.segment].start + panel.first;
  alignas(64) uint32_t query[128 * kPanel], gradient[128 * kPanel], query_rows[128 * kPanel], gradient_rows[128 * kPanel];
  alignas(64) uint32_t dscore_pairs[kChunk / 2 * kPanel];
  alignas(64) uint16_t weights[kChunk * kPanel], dscores[kChunk * kPanel];
  alignas(64) float scores[kChunk * kPanel], dweights[kChunk * kPanel], sum_DW[256 * kPanel], level[kPanel], mean[kPanel];
  pairs_of_columns(panel, start, q, h, D, query);
  pairs_of_columns(panel, start, grad, h, D, gradient);
  pairs_of_rows(panel, start, q, h, D, query_rows);
  pairs_of_rows(panel, start, grad, h, D, gradient_rows);
  for (int64_t c = 0; c < W; ++c) {
    level[c] = mean[c] = 0;
    if (c >= panel.count) continue;
    const uint16_t *g = grad.at(h, start + c), *o = out.at(h, start + c);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < D; ++d) sum += widened(g[d]) * widened(o[d]);
    mean[c] = sum;
    level[c] = lse[h * T + start + c];
  }
  bool first = true;
  for (const Chunk& chunk : p.tree.seen(panel)) {
    product(chunk.rows, W, D, D, W, false, k.rows.get() + chunk.row * D, query, scores);
    product(chunk.rows, W, D, D, W, false, v.rows.get() + chunk.row * D, gradient, dweights);
    if (p.tree.hides(chunk, panel))
      for (int64_t c = 0; c < W; ++c)
        for (int64_t r = std::max<int64_t>(0, p.tree.visible(chunk, panel, c)); r < chunk.rows; ++r) scores[r * W + c] = kHidden;
    for (int64_t r = 0; r < chunk.rows; r += 2) {
      const float *s = scores + r * W, *g = dweights + r * W;
      uint16_t *w = weights + r * W, *ds = dscores + r * W;
      uint32_t* pair = dscore_pairs + r / 2 * W;
#pragma omp simd
      for (int64_t c = 0; c < W; ++c) {
        float low = exponential(s[c] * p.scale - level[c]), high = exponential(s[W + c] * p.scale - level[c]);
        uint32_t dlow = rounded(low * (g[c] - mean[c])), dhigh = rounded(high * (g[W + c] - mean[c]));
        w[c] = uint16_t(rounded(low));
        w[W + c] = uint16_t(rounded(high));
        ds[c] = uint16_t(dlow);
        ds[W + c] = uint16_t(dhigh);
        pair[c] = dlow | dhigh << 16;
      }
    }
    for (int64_t d0 = 0; d0 < D; d0 += kPanel) {
      int64_t n = std::min(kPanel, D - d0), at = chunk.row * D + d0;
      product(chunk.rows, n, W, W, D, true, weights, gradient_rows + d0 * W / 2, dv + at);
      product(chunk.rows, n, W, W, D, true, dscores, query_rows + d0 * W / 2, dk + at);
    }
    product(D, W, chunk.rows, p.tree.rows, W, !first, k.columns.get() + chunk.row, dscore_pairs, sum_DW);
    first = false;
  }
  for (int64_t c = 0; c < panel.count; ++c) {
    uint16_t* to = dq + ((start + c) * p.H + h) * D;
    for (int64_t d = 0; d < D; ++d) to[d] = uint16_t(rounded(sum_DW[d * W + c] * p.scale));
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

}  // namespace

extern "C" {

// Whether this processor multiplies bfloat16 matrices and so can run what follows.
int t2s_tree_usable() { return at::native::cpublas::could_pack(at::kBFloat16); }

// x_strides: of head and token, in elements. out: [T, H, D]; lse: [H, T]. Returns 0, or 1 if it failed.
int t2s_tree_forward(
    const uint16_t* q, const int64_t* q_strides, const uint16_t* k, const int64_t* k_strides, const uint16_t* v, const int64_t* v_strides,
    const int64_t* lengths, int64_t n, int64_t H, int64_t K, int64_t T, int64_t D, float scale, int threads, uint16_t* out, float* lse) {
  return guarded([&] {
    Problem p{Tree(lengths, n), H, K, D, scale};
    std::vector<Keys> keys(K), values(K);
    View queries{q, q_strides[0], q_strides[1]}, all_keys{k, k_strides[0], k_strides[1]}, all_values{v, v_strides[0], v_strides[1]};
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
      at::native::cpublas::brgemm_release();
    }
    if (failed) throw std::runtime_error("tree attention");
  });
}

// grad, out: [heads, T, D] by strides. dq: [T, H, D]; dk, dv: [T, K, D]. Returns 0, or 1 if it failed.
int t2s_tree_backward(
    const uint16_t* grad, const int64_t* grad_strides, const uint16_t* q, const int64_t* q_strides, const uint16_t* k,
    const int64_t* k_strides, const uint16_t* v, const int64_t* v_strides, const uint16_t* out, const int64_t* out_strides,
    const float* lse, const int64_t* lengths, int64_t n, int64_t H, int64_t K, int64_t T, int64_t D, float scale, int threads,
    uint16_t* dq, uint16_t* dk, uint16_t* dv) {
  return guarded([&] {
    Problem p{Tree(lengths, n), H, K, D, scale};
    const Tree& tree = p.tree;
    std::vector<Keys> keys(K), values(K);
    View queries{q, q_strides[0], q_strides[1]}, all_keys{k, k_strides[0], k_strides[1]}, all_values{v, v_strides[0], v_strides[1]};
    View gradients{grad, grad_strides[0], grad_strides[1]}, outputs{out, out_strides[0], out_strides[1]};
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
          uint16_t *dk_row = dk + ((s.start + t) * K + h) * D, *dv_row = dv + ((s.start + t) * K + h) * D;
#pragma omp simd
          for (int64_t d = 0; d < D; ++d) {
            float key = 0, value = 0;
            for (int64_t part = 0; part < parts; ++part) {
              const float* at = first + 2 * part * size + (s.row + t) * D + d;
              key += at[0];
              value += at[size];
            }
            dk_row[d] = uint16_t(rounded(key * scale));
            dv_row[d] = uint16_t(rounded(value));
          }
        }
      }
      at::native::cpublas::brgemm_release();
    }
    if (failed) throw std::runtime_error("tree attention");
  });
}

}  // extern "C"
