// Package journal reads the log files of systemd-journald.
//
// # What
//
// [Open] opens one file, [Merge] puts the entries of several in the order of time,
// as journalctl(1) does: rotated files, those of users, those of several
// machines. The reference is "Journal File Format" of systemd
// (docs/JOURNAL_FILE_FORMAT.md). A guest that was cut off leaves files that are
// not closed, and whose tables may be torn: what can be read of them is.
//
// # Layout
//
//	0     header          208 to 272 bytes; its size is in it
//	      0  "LPKSHHRH"     8  compatible flags     12  incompatible flags
//	     16  state         24  file id              40  machine id
//	     72  seqnum id     88  header size         176  first entry array
//	      objects, each at a multiple of 8, with a head of 16 bytes:
//	      0  type           1  compression           8  size
//
//	entry array   16  next array    24  offsets of entries, 0 where it ends
//	entry         16  seqnum        24  realtime     32  monotonic
//	              40  boot id       56  hash         64  its fields: offset, hash
//	data          16  hash, lists   64  "NAME=value", or packed
//
// A file with the flag "compact" has offsets of 4 bytes in arrays and entries,
// no hashes in entries, and its data begins at 72. The lists and hash tables by
// which journalctl searches are not needed to read everything in order.
//
// # Support
//
//	keyed hash, compact             read
//	XZ, LZ4, ZSTD                   read
//	online, archived, offline       read
//	sealed                          read; seals are not verified
//	broken chain of arrays          objects are looked for one by one
//	unknown incompatible flags      refused
//
// # Limits
//
// Limits.Text bounds the fields of one entry, unpacked. Limits.Table bounds what
// is kept of a file whose arrays are broken. A file is read through a small cache.
//
// # Quirks
//
// Times are those of the guest's clock, which may jump; two entries of one boot
// are ordered by the monotonic clock, of one writer by their number. An entry
// that two files hold, as copies do, comes once.
package journal
