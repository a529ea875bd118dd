// Package blockdev is the vocabulary of the whole program: everything is a
// block device. An image of any format, a partition, a logical volume, a file
// inside a guest and the overlay of edits are all [Device].
//
// The required interface is two methods. What a device may know besides, where
// its zeros are, how to write, its sector size, is found by assertion, but only
// by the functions of this package: [NextExtent] and [SectorSize] ask, and fall
// back to an answer that is correct and slow. Callers never assert themselves.
//
// # Rules for wrappers
//
// A wrapper has a named field inner and never embeds a device. It decides about
// every capability. One that moves bytes ([Section], [Concat]) translates; one
// that changes them (encryption, parity) reports Data and no Host.
package blockdev
