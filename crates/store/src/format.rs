//! The edge to `segment`. INTERIM: a plain format until the real one is there.
use std::sync::Arc;
use sawyer_model::*;
pub(crate) type Follower = Box<dyn Fn(&Arc<Batch>) -> bool + Send + Sync>;
pub(crate) trait ReadAt: Send + Sync {
    fn len(&self) -> u64;
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()>;
}
fn put_str(out: &mut Vec<u8>, s: &str) { out.extend((s.len() as u32).to_le_bytes()); out.extend(s.as_bytes()); }
fn put_value(out: &mut Vec<u8>, v: ValueRef<'_>) {
    match v {
        ValueRef::Int(n) => { out.push(1); out.extend(n.to_le_bytes()); }
        ValueRef::Str(s) => { out.push(2); put_str(out, s); }
        other => { out.push(3); put_str(out, &format!("{other:?}")); }
    }
}
pub(crate) fn encode_batch(batch: &Batch, out: &mut Vec<u8>) {
    out.extend((batch.covered().len() as u32).to_le_bytes());
    for c in batch.covered() { out.extend(c.source.0.to_le_bytes()); out.extend(c.range.start.to_le_bytes()); out.extend(c.range.end.to_le_bytes()); }
    out.extend((batch.len() as u32).to_le_bytes());
    for r in batch.iter() {
        out.extend(r.timestamp().nanos().to_le_bytes()); out.extend(r.observed().nanos().to_le_bytes());
        out.extend(r.source().0.to_le_bytes()); out.extend(r.range().start.to_le_bytes()); out.extend(r.range().end.to_le_bytes());
        out.extend((r.stream().fields().len() as u32).to_le_bytes());
        for (n, v) in r.stream().fields() { put_str(out, n); put_value(out, v.as_ref()); }
        out.extend((r.own_fields().len() as u32).to_le_bytes());
        for (n, v) in r.own_fields() { put_str(out, n); put_value(out, v); }
    }
}
struct R<'a>(&'a [u8]);
impl R<'_> {
    fn n<const N: usize>(&mut self) -> Option<[u8; N]> { let (a, b) = self.0.split_first_chunk()?; self.0 = b; Some(*a) }
    fn u32(&mut self) -> Option<usize> { Some(u32::from_le_bytes(self.n()?) as usize) }
    fn i64(&mut self) -> Option<i64> { Some(i64::from_le_bytes(self.n()?)) }
    fn u64(&mut self) -> Option<u64> { Some(u64::from_le_bytes(self.n()?)) }
    fn s(&mut self) -> Option<String> { let n = self.u32()?; let (a, b) = self.0.split_at_checked(n)?; self.0 = b; String::from_utf8(a.to_vec()).ok() }
    fn fields(&mut self) -> Option<Vec<(Box<str>, Value)>> {
        let n = self.u32()?;
        (0..n).map(|_| { let name = self.s()?; let v = match self.n::<1>()?[0] { 1 => Value::Int(self.i64()?), _ => Value::from(self.s()?) }; Some((name.into(), v)) }).collect()
    }
    fn batch(&mut self) -> Option<Batch> {
        let mut b = Batch::new();
        let covered = self.u32()?;
        let covered: Vec<_> = (0..covered).map(|_| Some((SourceId(u128::from_le_bytes(self.n()?)), SeqRange::new(self.u64()?, self.u64()?)))).collect::<Option<_>>()?;
        for _ in 0..self.u32()? {
            let timestamp = Timestamp::from_nanos(self.i64()?); let observed = Timestamp::from_nanos(self.i64()?);
            let source = SourceId(u128::from_le_bytes(self.n()?)); let range = SeqRange::new(self.u64()?, self.u64()?);
            let stream = Arc::new(Stream::new(self.fields()?)); let fields = self.fields()?;
            b.push(&Record { timestamp, observed, source, range, stream, fields });
        }
        for (s, r) in covered { b.cover(s, r); }
        Some(b)
    }
}
fn corrupt() -> Error { Error::new(ErrorKind::Corrupt, "interim format") }
pub(crate) fn decode_batch(bytes: &[u8]) -> Result<Batch, Error> { R(bytes).batch().ok_or_else(corrupt) }
pub(crate) fn encode_segment(batches: &[Arc<Batch>]) -> crate::error::Result<Vec<u8>> {
    let mut all = Batch::new();
    for b in batches { for r in b.iter() { all.push_ref(r); } }
    let mut out = Vec::new(); encode_batch(&all, &mut out); let crc = crc32c::crc32c(&out); out.extend(crc.to_le_bytes()); Ok(out)
}
pub(crate) struct Segment { source: Arc<dyn ReadAt>, rows: u64 }
impl std::fmt::Debug for Segment { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("Segment") } }
impl Segment {
    pub(crate) fn open(source: Arc<dyn ReadAt>) -> Result<Self, Error> { let mut s = Self { source, rows: 0 }; s.rows = s.batch()?.len() as u64; Ok(s) }
    fn batch(&self) -> Result<Batch, Error> {
        let mut bytes = vec![0; self.source.len() as usize]; self.source.read_exact_at(&mut bytes, 0).map_err(|e| Error::new(ErrorKind::Retry, "read").because(e))?;
        let (data, crc) = bytes.split_at_checked(bytes.len().wrapping_sub(4)).ok_or_else(corrupt)?;
        if crc != crc32c::crc32c(data).to_le_bytes() { return Err(corrupt()); }
        decode_batch(data)
    }
    pub(crate) fn rows(&self) -> u64 { self.rows }
    pub(crate) fn verify(&self) -> Result<u64, Error> { Ok(self.batch()?.len() as u64) }
    pub(crate) fn read_all(&self) -> Result<Vec<Batch>, Error> { Ok(vec![self.batch()?]) }
}
