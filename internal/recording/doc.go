// Package recording keeps a stream of events in a file and reads it again: an
// event that goes in comes out bit for bit, so that the ledger makes the same
// picture of a recording as of the kernel.
//
// # The file
//
// A recording is a sequence of blocks, and nothing else. All numbers are
// little-endian; varint, uvarint and zig-zag are those of encoding/binary.
// Each block begins with a header of 64 bytes:
//
//	 0  4 bytes  the marker "PWB" 0x01
//	 4  u32      CRC-32C of bytes 8 to 63
//	 8  u8       type: H file header, E events, N note, I index, T trailer
//	 9  u8       flags, 0
//	10  u16      length of the header, 64
//	12  u32      length of the payload
//	16  u32      CRC-32C of the payload
//	20  u32      number of records: events, or entries of an index
//	24  u64      number of the block in the recording, from 0
//	32  u64      smallest time in the block, boot clock
//	40  u64      largest time in the block
//	48  u64      events in the blocks before this one
//	56  u32      refusals told in the block, at most 2^32-1
//	60  u32      allocations told in the block, at most 2^32-1
//
// The number of the block and the events before it tell how much is missing
// where a block cannot be read. The payload of H and N is JSON. That of E is a
// table of sections (count u16; then for each: id u16, codec u8, reserved u8,
// raw length u32, stored length u32) and the sections; codec 0 is stored, 1 is
// zstd. A reader skips sections, and types of blocks, that it does not know. I
// has an entry of 48 bytes for each E, and T says where I begins: both are made
// when the recording is closed, and no reader depends on them.
//
// An E block holds at most 65,536 events or a second, and refers to no other
// block. It names each socket once (rows), and each event refers to its row;
// see the types shape, way, who and row.
//
// # Damage
//
// The writer hands each block to the kernel in one piece: what is killed loses
// the open block. The reader checks every length against what is there before
// it allocates, and every byte against a checksum. It goes on at the next block
// that is whole, and tells what lies between as an event of kind lost. A tail
// that is cut off is no damage.
package recording
