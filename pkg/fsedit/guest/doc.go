// Package guest is one guest system over its volumes: its tree, joined by mount
// points, and what it is. It states facts and changes nothing; package edit
// turns facts into changes.
//
// Nothing is taken from package databases that the files themselves can tell:
// kernels are found from their module trees and boot entries, loaders and
// initramfs generators from content. A disk without a system has a tree too.
package guest
