#!/usr/bin/env node
'use strict';

require('../dist/program.js').runProgram('credential-rotation');
