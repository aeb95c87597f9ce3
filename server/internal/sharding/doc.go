// Package sharding decides which client of a subscription owns which partition.
// It is pure: no state besides the Ring, which never changes once it is built, no
// clock, no randomness, no I/O. Everything may be called concurrently.
//
// # The rules
//
// Fair: no two members own numbers of partitions that differ by more than one.
//
// Sticky: what a member owns it keeps, unless fairness forbids. So a join or a
// leave moves exactly as many partitions as every fair assignment must move; see
// Ring.Assign for the number.
//
// Free of history: the same members have the same preferences, in whatever order
// they came, and the same members, partitions and owners give the same
// assignment, in whatever order they are listed.
//
// # The algorithm
//
// It is consistent hashing with bounded loads (Vahab Mirrokni, Mikkel Thorup,
// Morteza Zadimoghaddam: "Consistent Hashing with Bounded Loads", SODA 2018,
// arXiv:1608.01350), with the tightest bounds there are: quotas that add up to the
// number of partitions, of which each member's is the average, rounded down or up.
// Members stand on a ring of hashes (Karger et al., STOC 1997), each at several
// points; a partition prefers members in the order in which it meets them going
// clockwise from its own hash, and goes to the first with room.
//
// Differing from the paper, present owners come first: a member that owns no more
// than its quota gives up nothing, so that no chain of partitions moves up to
// better places when one is freed. A member above its quota gives up the
// partitions that have the farthest way to it on the ring, and where more members
// could keep one partition above the average than there are such quotas, those
// get them to which that partition has the shortest way.
package sharding
