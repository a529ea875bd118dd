// Package imagefmttest is the conformance suite of image formats, and the files
// in memory that it and the formats' own tests work on. Only tests import it.
//
// [Format] runs the whole suite over one format, [Device] compares one device
// with the bytes it must hold. Both judge the contract only: that an image is
// what other programs understand by the format is for the format's own tests,
// with those programs.
package imagefmttest
