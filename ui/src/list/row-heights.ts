/**
 * Where each row begins. Fixed heights cost nothing; measured ones keep running sums.
 *
 * Invariant: `top(0) = 0`, tops never decrease, and `indexAt(top(i)) = i` for every row.
 */
export class RowHeights {
  private count = 0;
  private fixedPx = 24;
  /** Running tops; null while every row has the fixed height. */
  private tops: Float64Array | null = null;
  private heights: Float64Array | null = null;
  /** Tops are right up to and including this index. */
  private validTo = 0;

  reset(count: number, fixedPx: number): void {
    this.count = count;
    this.fixedPx = fixedPx;
    this.tops = null;
    this.heights = null;
    this.validTo = 0;
  }

  /** Changes the number of rows and keeps what was measured of the first ones. */
  resize(count: number): void {
    if (this.heights) {
      const heights = new Float64Array(count).fill(this.fixedPx);
      heights.set(this.heights.subarray(0, Math.min(count, this.count)));
      this.heights = heights;
      const tops = new Float64Array(count + 1);
      if (this.tops) tops.set(this.tops.subarray(0, Math.min(count, this.count) + 1));
      this.tops = tops;
      this.validTo = Math.min(this.validTo, count, this.count);
    }
    this.count = count;
  }

  /** Notes a measured height; true when it differs from what was assumed. */
  set(index: number, px: number): boolean {
    const before = this.heights ? (this.heights[index] ?? this.fixedPx) : this.fixedPx;
    if (before === px || index >= this.count) return false;
    this.heights ??= new Float64Array(this.count).fill(this.fixedPx);
    this.tops ??= new Float64Array(this.count + 1);
    this.heights[index] = px;
    this.validTo = Math.min(this.validTo, index);
    return true;
  }

  top(index: number): number {
    const at = Math.min(Math.max(index, 0), this.count);
    if (!this.tops || !this.heights) return at * this.fixedPx;
    for (let i = this.validTo; i < at; i += 1) {
      this.tops[i + 1] = (this.tops[i] ?? 0) + (this.heights[i] ?? this.fixedPx);
    }
    this.validTo = Math.max(this.validTo, at);
    return this.tops[at] ?? 0;
  }

  /** The row that holds this offset; the last row for offsets beyond the end. */
  indexAt(offsetPx: number): number {
    if (this.count === 0) return 0;
    if (!this.tops) return Math.min(Math.max(Math.floor(offsetPx / this.fixedPx), 0), this.count - 1);
    this.top(this.count);
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.tops[middle] ?? 0) <= offsetPx) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
