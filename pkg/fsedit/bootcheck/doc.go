// Package bootcheck argues from a guest's files whether it will start on a
// target, without starting it: every link of the chain from the firmware to the
// mounted filesystems is one row with its evidence. A row that is required and
// does not pass means that the guest will not start.
package bootcheck
