// Package imagefmt holds the contracts of disk image formats: how one is
// recognised, opened, described and written. It imports no format; package
// formats is the one place that knows them all.
//
// The road of data: a [Source] is a file of the host, a [Format] turns it into
// an [Image], which is a blockdev.Device like any other. The way back: a
// [Creator] turns a [Sink] into a [Writer].
//
// A new format is one folder with a doc.go and one line in package formats;
// the suite in imagefmttest then tests it without being asked.
package imagefmt
