//! What a lane and the scribe say of one segment: the lane how many bytes of it have to be on the disk, the scribe how
//! many are. Each a word of eight bytes, a datagram each.

/// Bytes of a word.
pub const WORD: usize = 8;

/// What the scribe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// So many bytes of the segment are on the disk.
    Durable(u64),
    /// A sync failed; nothing more will be promised of it.
    Lost,
}

impl Said {
    /// As it is sent.
    #[must_use]
    pub fn word(self) -> [u8; WORD] {
        match self {
            Said::Durable(upto) => upto.min(u64::MAX - 1).to_le_bytes(),
            Said::Lost => u64::MAX.to_le_bytes(),
        }
    }

    /// As it was sent.
    #[must_use]
    pub fn read(word: [u8; WORD]) -> Said {
        match u64::from_le_bytes(word) {
            u64::MAX => Said::Lost,
            upto => Said::Durable(upto),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Said;

    #[test]
    fn said_reads_back() {
        for said in [Said::Durable(0), Said::Durable(1 << 40), Said::Lost] {
            assert_eq!(Said::read(said.word()), said);
        }
    }
}
