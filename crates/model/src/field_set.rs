//! A set of fields, a bit each.

use crate::Field;

/// A set of fields: a field is a byte, so every one has its bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet([u64; 4]);

impl FieldSet {
    const fn place(field: Field) -> (usize, u64) {
        let number = field as u8;
        ((number >> 6) as usize, 1 << (number & 63))
    }

    /// Whether a field is in it.
    #[must_use]
    pub const fn has(self, field: Field) -> bool {
        let (word, bit) = Self::place(field);
        self.0[word] & bit != 0
    }

    /// Adds a field; tells whether it was new.
    pub const fn add(&mut self, field: Field) -> bool {
        let (word, bit) = Self::place(field);
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    /// Whether every field of another is in it.
    #[must_use]
    pub fn has_all(self, other: Self) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .all(|(own, other)| own & other == other)
    }

    /// The fields that are in both.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// The fields that are in either.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        let mut set = Self::default();
        for field in fields {
            set.add(field);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::FieldSet;
    use crate::Field;

    #[test]
    fn every_field_has_a_bit_of_its_own() {
        let mut all = FieldSet::default();
        for field in Field::ALL {
            assert!(!all.has(*field));
            assert!(all.add(*field) && !all.add(*field) && all.has(*field));
        }
        let one: FieldSet = [Field::ALL[0]].into_iter().collect();
        let last: FieldSet = Field::ALL.last().copied().into_iter().collect();
        assert!(all.has_all(one.joined(last)) && !one.has_all(last));
        assert_eq!(all.common(last), last);
        assert_eq!(one.common(last), FieldSet::default());
    }
}
