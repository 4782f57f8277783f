//! What has arrived and is not yet used up.

/// A buffer that a socket is read into directly. It keeps its memory, of which a connection that idles has little.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Everything up to its length is initialised; what counts is `start..end`.
    memory: Vec<u8>,
    start: usize,
    end: usize,
}

/// What an empty buffer begins with: what most heads and short answers fit into.
const FIRST: usize = 2 << 10;

impl Buffer {
    /// The bytes that have arrived.
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room for more: at least one byte, unless `most` have arrived already. `wanted` is what it grows to at once.
    pub(super) fn spare(&mut self, wanted: usize, most: usize) -> &mut [u8] {
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
        }
        let room = self.memory.len() - self.end;
        // Moved where what is left is little and what was used up is much, so that reads stay large and moves rare.
        if room == 0
            || self.memory.len() < wanted
            || room < self.memory.len() / 4 && self.start > self.memory.len() / 2
        {
            self.memory.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.end == self.memory.len() || self.memory.len() < wanted {
                let grown =
                    self.memory.len().saturating_mul(2).max(FIRST).max(wanted).min(most.max(self.end));
                if grown > self.memory.len() {
                    self.memory.resize(grown, 0);
                }
            }
        }
        self.memory.get_mut(self.end..).unwrap_or_default()
    }

    /// That the first `count` bytes of what [`Buffer::spare`] gave are filled now.
    pub(super) fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.memory.len());
    }

    /// Uses up `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Gives the memory back where it is empty.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            *self = Buffer::default();
        }
    }

    /// The same, but for what it began with.
    pub(super) fn rest(&mut self) {
        if self.memory.len() > FIRST {
            self.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(buffer: &mut Buffer, bytes: &[u8], most: usize) -> usize {
        let spare = buffer.spare(0, most);
        let count = spare.len().min(bytes.len());
        spare[..count].copy_from_slice(&bytes[..count]);
        buffer.filled(count);
        count
    }

    #[test]
    fn buffer_moves_grows_and_stops_at_most() {
        let mut buffer = Buffer::default();
        assert_eq!(push(&mut buffer, &[1; FIRST], 6000), FIRST);
        buffer.consume(FIRST - 1);
        assert_eq!(push(&mut buffer, &[2; 9000], 6000), FIRST - 1);
        assert_eq!(buffer.len(), FIRST);
        assert_eq!(push(&mut buffer, &[3; 9000], 6000), FIRST);
        assert_eq!(push(&mut buffer, &[4; 9000], 6000), 6000 - 2 * FIRST);
        assert_eq!(push(&mut buffer, &[5; 9000], 6000), 0);
        assert_eq!(buffer.bytes()[..2], [1, 2]);
        buffer.consume(usize::MAX);
        assert!(buffer.is_empty());
        buffer.rest();
        assert_eq!(buffer.memory.capacity(), 0);
        push(&mut buffer, &[1], 6000);
        buffer.consume(1);
        buffer.rest();
        assert_eq!(buffer.memory.len(), FIRST);
    }
}
