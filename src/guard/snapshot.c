#include "guard/snapshot.h"
