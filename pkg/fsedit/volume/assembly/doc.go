// Package assembly puts one device together from runs of others, as device-mapper
// and md do: one after the other, striped, mirrored.
//
// A [Piece] is built from the leafs up and turned into a device at the end by
// [Device]; that can be written when all leafs can. [Spans] tells which bytes of
// the leafs hold a range of it, so that what is free on top is free below.
package assembly
