/*
 * Wine 8 has no bcryptprimitives.dll, where Rust programs look for their random
 * numbers. This one has the function that they want, on an older one that does
 * the same.
 */
#include <windows.h>

/* RtlGenRandom's real name. */
BOOLEAN WINAPI SystemFunction036(void *buffer, ULONG length);

/* Well below what a ULONG holds. */
#define MOST 0x40000000u

__declspec(dllexport) BOOL WINAPI
ProcessPrng(unsigned char *data, size_t length)
{
	while (length) {
		ULONG part = length < MOST ? (ULONG)length : MOST;

		if (!SystemFunction036(data, part))
			return FALSE;
		data += part;
		length -= part;
	}
	return TRUE;
}
