//! What this device gave through relays: what it sends there, its user's account pays for (RLY-018), however often it is asked for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use meshproof_proto::codec::Id;

/// How many times the size of the folder a user is given in a day, and how many bytes beside that.
const TIMES: u64 = 4;
const BESIDE: u64 = 1024 * 1024 * 1024;

/// What was given of one folder today.
#[derive(Default)]
pub(super) struct Given(Mutex<Today>);

#[derive(Default)]
struct Today {
    /// In days since 1970.
    day: u64,
    by_user: HashMap<Id, u64>,
}

impl Given {
    /// Notes so many bytes for a user, on a `day` since 1970. `false`: they are more than it gets of a folder of `size` bytes, and are not
    /// to be given.
    pub(super) fn take(&self, user: Id, bytes: u64, day: u64, size: u64) -> bool {
        let mut today = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that is set back begins no new day.
        if day > today.day {
            *today = Today { day, by_user: HashMap::new() };
        }
        let most = size.saturating_mul(TIMES).saturating_add(BESIDE);
        let given = today.by_user.entry(user).or_default();
        *given = given.saturating_add(bytes);
        *given <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_given_a_folder_again_and_again_in_a_day() {
        let (given, member, other) = (Given::default(), Id([1; 16]), Id([2; 16]));
        let size = 10 * BESIDE;
        let takes = |user, day| (0..1_000).take_while(|_| given.take(user, BESIDE, day, size)).count();
        assert_eq!(takes(member, 7), 41, "four times the folder, and a little");
        assert!(!given.take(member, 1, 6, size), "the clock was set back");
        assert_eq!(takes(other, 7), 41, "what one was given is nobody else's");
        assert_eq!(takes(member, 8), 41);
    }
}
